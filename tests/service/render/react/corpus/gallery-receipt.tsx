import { Body, Column, Container, Head, Heading, Hr, Html, Img, Link, Preview, Row, Section, Text } from '@react-email/components';
import type * as React from 'react';
const paddingX = { paddingLeft: '40px', paddingRight: '40px' };
const paragraph = { margin: '0', lineHeight: '2' };
const global = { paddingX, paragraphWithBold: { ...paragraph, fontWeight: 'bold' }, text: { ...paragraph, color: '#747474', fontWeight: '500' }, defaultPadding: { ...paddingX, paddingTop: '22px', paddingBottom: '22px' }, hr: { borderColor: '#E5E5E5', margin: '0' }, button: { border: '1px solid #929292', fontSize: '16px', textDecoration: 'none', padding: '10px 0px', width: '220px', display: 'block', textAlign: 'center', fontWeight: 500, color: '#000' } as React.CSSProperties };
const menu = { container: { ...paddingX, paddingTop: '20px', backgroundColor: '#F7F7F7' }, title: { paddingLeft: '20px', fontWeight: 'bold' }, tel: { paddingLeft: '20px', paddingTop: '32px' } };
class Price { constructor(private cents: number) {} toString() { return new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' }).format(this.cents / 100); } }
export const RunnerReceiptEmail = ({ date = new Date('2022-09-22T10:00:00Z'), items = [['Brazil 2022/23 Stadium Away Women’s Runner', 12345] as const] }) => (
  <Html><Head /><Preview>Get your order summary, estimated delivery date and more</Preview>
    <Body style={{ backgroundColor: '#ffffff', fontFamily: '"Helvetica Neue",Helvetica,Arial,sans-serif' }}>
      <Container style={{ margin: '10px auto', width: '600px', maxWidth: '100%', border: '1px solid #E5E5E5' }}>
        <Section style={{ padding: '22px 40px', backgroundColor: '#F7F7F7' }}><Row><Column><Text style={global.paragraphWithBold}>Tracking Number</Text><Text style={{ margin: '12px 0 0 0', fontWeight: 500, lineHeight: '1.4', color: '#6F6F6F' }}>1ZV218970300071628</Text></Column><Column align="right"><Link style={global.button}>Track Package</Link></Column></Row></Section>
        <Hr style={global.hr} />
        <Section style={{ padding: '40px 74px', textAlign: 'center' }}><Img src="/static/runner-logo.png" width="66" height="22" alt="Runner" style={{ margin: 'auto' }} /><Heading style={{ fontSize: '32px', lineHeight: '1.3', fontWeight: '700', textAlign: 'center', letterSpacing: '-1px' }}>It's On Its Way.</Heading></Section>
        {items.map(([name, cents], i) => <Section key={i} style={{ ...paddingX, paddingTop: '40px' }}><Row><Column style={{ verticalAlign: 'top', paddingLeft: '12px' }}><Text style={{ ...paragraph, fontWeight: '500' }}>{name}</Text><Text style={global.text}>Size L ({`${new Price(cents)}`})</Text></Column></Row></Section>)}
        <Section style={global.defaultPadding}><Row style={{ display: 'inline-flex', marginBottom: 40 }}><Column style={{ width: 170 }}><Text style={global.paragraphWithBold}>Order Date</Text><Text style={{ ...paragraph }}>{date.toLocaleDateString('en-US', { month: 'short', day: 'numeric', year: 'numeric' })}</Text></Column></Row></Section>
        <Section style={menu.container}><Text style={menu.title}>Get Help</Text><Row style={{ paddingTop: 10 }}>{['Shipping Status', 'Returns'].map((t, i) => <Column key={t} style={{ width: `${100 / 3}%` }} colSpan={i + 1}><Link href="https://www.runner.com/" style={{ color: '#000' }}>{t}</Link></Column>)}</Row><Row style={menu.tel}><Column><Img src="/static/runner-phone.png" width="16" height="26px" /></Column></Row></Section>
      </Container>
    </Body>
  </Html>
);
export default RunnerReceiptEmail;
