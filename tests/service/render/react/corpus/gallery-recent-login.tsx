import { Body, Button, Column, Container, Head, Heading, Html, Img, Preview, Row, Section, Text } from '@react-email/components';
interface PlacesRecentLoginEmailProps { userFirstName?: string; loginDate?: Date; loginDevice?: string; loginLocation?: string; loginIp?: string }
export const PlacesRecentLoginEmail = ({ userFirstName, loginDate, loginDevice, loginLocation, loginIp }: PlacesRecentLoginEmailProps) => {
  const formattedDate = new Intl.DateTimeFormat('en', { dateStyle: 'long', timeStyle: 'short' }).format(loginDate);
  return (
    <Html><Head /><Body style={main}><Preview>Places recent login</Preview><Container>
      <Section style={content}><Row style={boxInfos}><Column>
        <Heading style={{ fontSize: 32, fontWeight: 'bold', textAlign: 'center' }}>Hi {userFirstName},</Heading>
        <Heading as="h2" style={{ fontSize: 26 }}>We noticed a recent login to your Places account.</Heading>
        <Text style={paragraph}><b>Time: </b>{formattedDate}</Text>
        <Text style={{ ...paragraph, marginTop: -5 }}><b>Device: </b>{loginDevice}</Text>
        <Text style={{ ...paragraph, marginTop: -5 }}><b>Location: </b>{loginLocation}</Text>
        <Text style={{ color: 'rgb(0,0,0, 0.5)', fontSize: 14, marginTop: -5 }}>*Approximate geographic location based on IP address:{loginIp}</Text>
      </Column></Row><Row style={{ ...boxInfos, paddingTop: '0' }}><Column style={{ display: 'flex', justifyContent: 'center', width: '100%' }} colSpan={2}><Button style={button}>Learn More</Button></Column></Row></Section>
      <Section><Img style={{ maxWidth: '100%' }} width="620" src="/static/places-footer.png" /></Section>
    </Container></Body></Html>
  );
};
PlacesRecentLoginEmail.PreviewProps = { userFirstName: 'Alan', loginDate: new Date('September 7, 2022, 10:58 am'), loginDevice: 'Chrome on Mac OS X', loginLocation: 'Upland, California, United States', loginIp: '47.149.53.167' } as PlacesRecentLoginEmailProps;
export default PlacesRecentLoginEmail;
const main = { backgroundColor: '#fff', fontFamily: '-apple-system,BlinkMacSystemFont' };
const paragraph = { fontSize: 16 };
const button = { backgroundColor: '#e00707', borderRadius: 3, color: '#FFF', fontWeight: 'bold', border: '1px solid rgb(0,0,0, 0.1)', cursor: 'pointer', display: 'inline-block', padding: '12px 30px', textDecoration: 'none' };
const content = { border: '1px solid rgb(0,0,0, 0.1)', borderRadius: '3px', overflow: 'hidden' };
const boxInfos = { padding: '20px' };
