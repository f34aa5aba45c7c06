import { Column, Row, Section } from 'react-email';
import { Layout, Rule, Small, Title, Words } from './northwind/layout';
import { look } from './northwind/theme';

interface SignInCodeProps {
  shop: string;
  code: string;
  minutes?: number;
  device?: string;
  help?: string;
}

export const subject = ({ code, shop }: SignInCodeProps) => `${code} is your ${shop} code`;

export const schema = {
  type: 'object',
  required: ['shop', 'code'],
  properties: {
    shop: { type: 'string', description: "The sender's name" },
    code: { type: 'string' },
    minutes: { type: 'integer', description: 'How long the code works; 10 if not given' },
    device: { type: 'string', description: 'Where it was asked for' },
    help: { type: 'string', description: 'The help page' },
  },
};

export default function SignInCode({ shop, code, minutes = 10, device, help }: SignInCodeProps) {
  return (
    <Layout shop={shop} help={help} preview={`Your code works for ${minutes} minutes`} reason={`You get this mail because somebody signs in to ${shop} with your address.`}>
      <Title>Your sign-in code</Title>
      <Words>Enter this code where you are signing in. It works for {minutes} minutes.</Words>
      <Section className="my-7">
        <Row>
          <Column align="center" className={`rounded-lg py-6 font-mono text-4xl font-bold tracking-[6px] max-sm:text-3xl ${look.soft} ${look.accent}`}>{code}</Column>
        </Row>
      </Section>
      {device && <Small>Asked for from {device}.</Small>}
      <Rule />
      <Small>Not you? Then you need not do anything: without the code nobody gets in. Never give it to anybody, not to us either.</Small>
    </Layout>
  );
}

SignInCode.PreviewProps = {
  shop: 'Northwind',
  code: '493 817',
  minutes: 10,
  device: 'Firefox on Linux, near Oslo',
  help: 'https://shop.example.com/help',
} satisfies SignInCodeProps;
