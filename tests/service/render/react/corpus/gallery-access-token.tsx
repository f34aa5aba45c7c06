import { Body, Button, Container, Head, Html, Img, Link, Preview, Section, Text } from '@react-email/components';
import * as React from 'react';

interface ForgeAccessTokenEmailProps {
  username?: string;
}

const baseUrl = process.env.VERCEL_URL ? `https://${process.env.VERCEL_URL}` : '';

export const ForgeAccessTokenEmail = ({ username }: ForgeAccessTokenEmailProps) => (
  <Html>
    <Head />
    <Body style={main}>
      <Preview>A fine-grained personal access token has been added to your account</Preview>
      <Container style={container}>
        <Img src={`${baseUrl}/static/forge.png`} width="32" height="32" alt="Forge" />
        <Text style={title}>
          <strong>@{username}</strong>, a personal access was created on your account.
        </Text>
        <Section style={section}>
          <Text style={text}>
            Hey <strong>{username}</strong>!
          </Text>
          <Text style={text}>
            A fine-grained personal access token (<Link>resend</Link>) was recently added to your account.
          </Text>
          <Button style={button}>View your token</Button>
        </Section>
        <Text style={links}>
          <Link style={link}>Your security audit log</Link> ・ <Link style={link}>Contact support</Link>
        </Text>
        <Text style={footer}>Forge, Inc. ・1 Example Street ・San Francisco, CA 94107</Text>
      </Container>
    </Body>
  </Html>
);

ForgeAccessTokenEmail.PreviewProps = { username: 'alanturing' } as ForgeAccessTokenEmailProps;

export default ForgeAccessTokenEmail;

const main = {
  backgroundColor: '#ffffff',
  color: '#24292e',
  fontFamily: '-apple-system,BlinkMacSystemFont,"Segoe UI",Helvetica,Arial,sans-serif,"Apple Color Emoji","Segoe UI Emoji"',
};
const container = { maxWidth: '480px', margin: '0 auto', padding: '20px 0 48px' };
const title = { fontSize: '24px', lineHeight: 1.25 };
const section = { padding: '24px', border: 'solid 1px #dedede', borderRadius: '5px', textAlign: 'center' as const };
const text = { margin: '0 0 10px 0', textAlign: 'left' as const };
const button = { fontSize: '14px', backgroundColor: '#28a745', color: '#fff', lineHeight: 1.5, borderRadius: '0.5em', padding: '12px 24px' };
const links = { textAlign: 'center' as const };
const link = { color: '#0366d6', fontSize: '12px' };
const footer = { color: '#6a737d', fontSize: '12px', textAlign: 'center' as const, marginTop: '60px' };
