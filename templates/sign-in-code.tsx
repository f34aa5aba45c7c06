import { Section, Text } from 'react-email';
import { Layout, Rule, Small, Title, Words } from './northwind/layout';

interface SignInCodeProps {
  shop: string;
  code: string;
  minutes?: number;
  device?: string;
  help?: string;
}

export const subject = ({ code, shop }: SignInCodeProps) => `${code} is your ${shop} code`;

export default function SignInCode({ shop, code, minutes = 10, device, help }: SignInCodeProps) {
  return (
    <Layout shop={shop} help={help} preview={`Your code is valid for ${minutes} minutes`} reason={`You get this mail because somebody signs in to ${shop} with your address.`}>
      <Title>Your sign-in code</Title>
      <Words>Enter this code where you are signing in. It is valid for {minutes} minutes.</Words>
      <Section className="my-6 rounded-lg bg-brand-soft py-5">
        <Text className="m-0 text-center font-mono text-4xl font-bold tracking-[8px] text-brand">{code}</Text>
      </Section>
      {device && <Small>Asked for by {device}.</Small>}
      <Rule />
      <Small>Not you? Then you need not do anything: without the code nobody gets in. Never give it to anybody, not to us either.</Small>
    </Layout>
  );
}

SignInCode.PreviewProps = {
  shop: 'Northwind', code: '493 817', device: 'Firefox on Linux', help: 'https://shop.example.com/help',
} satisfies SignInCodeProps;
