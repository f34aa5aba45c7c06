import { Body, Column, Container, Head, Heading, Html, Img, Link, Preview, Row, Section, Text } from 'react-email';
export default function TeamConfirmEmail({ validationCode }: { validationCode?: string }) {
  return (
    <Html><Head /><Body style={main}><Preview>Confirm your email address</Preview><Container style={{ margin: '0 auto', padding: '0px 20px' }}>
      <Section style={{ marginTop: '32px' }}><Img src={`${process.env.NODE_ENV === 'production' ? 'https://cdn' : ''}/static/team-logo.png`} width="120" height="36" alt="Team" /></Section>
      <Heading style={{ color: '#1d1c1d', fontSize: '36px', fontWeight: '700', margin: '30px 0', lineHeight: '42px' }}>Confirm your email address</Heading>
      <Section style={{ background: 'rgb(245, 244, 245)', padding: '40px 10px' }}><Text style={{ fontSize: '30px', textAlign: 'center', verticalAlign: 'middle' }}>{validationCode}</Text></Section>
      <Section><Row style={{ marginBottom: '32px' }}><Column style={{ width: '66%' }}><Img src="/a.png" width="120" height="36" alt="Team" /></Column><Column><Section><Row>{['tw', 'fb'].map((n) => <Column key={n}><Link href="/"><Img src={n} width="32" height="32" style={{ display: 'inline', marginLeft: '8px' }} /></Link></Column>)}</Row></Section></Column></Row></Section>
      <Section><Link href="https://team.com" target="_blank" rel="noopener noreferrer" style={{ color: '#b7b7b7', textDecoration: 'underline' }}>Our blog</Link>&nbsp;&nbsp;&nbsp;|&nbsp;&nbsp;&nbsp;<Text style={{ fontSize: '12px', textAlign: 'left' }}>©2022 Team <br />500 Howard Street<br /><br />All rights reserved.</Text></Section>
    </Container></Body></Html>
  );
}
TeamConfirmEmail.PreviewProps = { validationCode: 'DJZ-TLX' };
const main = { backgroundColor: '#ffffff', margin: '0 auto', fontFamily: "-apple-system, BlinkMacSystemFont, 'Segoe UI', 'Roboto', sans-serif" };
