import { Link, Section } from 'react-email';
import { Action, Layout, Note, Small, Title, Words } from './northwind/layout';
import { look } from './northwind/theme';

interface PasswordResetProps {
  shop: string;
  name: string;
  url: string;
  minutes: number;
  device?: string;
  help?: string;
}

export const subject = ({ shop }: PasswordResetProps) => `Reset your ${shop} password`;

export const schema = {
  type: 'object',
  required: ['shop', 'name', 'url', 'minutes'],
  properties: {
    shop: { type: 'string', description: "The sender's name" },
    name: { type: 'string' },
    url: { type: 'string', description: 'The page on which the password is set' },
    minutes: { type: 'integer', description: 'How long the link works' },
    device: { type: 'string', description: 'Where the reset was asked for' },
    help: { type: 'string', description: 'The help page' },
  },
};

export default function PasswordReset({ shop, name, url, minutes, device, help }: PasswordResetProps) {
  return (
    <Layout shop={shop} help={help} preview={`The link works once, for ${minutes} minutes`} reason={`Sent by ${shop} to keep your account safe.`}>
      <Title>Set a new password</Title>
      <Words>
        Hello {name}, somebody asked for a new password for your {shop} account. If it was you, choose one now. The link works once,
        for {minutes} minutes.
      </Words>
      <Action href={url}>Choose a new password</Action>
      <Small>Or copy this address into your browser:<br /><Link href={url} className={`break-all no-underline ${look.accent}`}>{url}</Link></Small>
      <Section className="mt-6">
        <Note><strong>Not you?</strong> Your password stays as it is and you can delete this mail.{device && <><br />Asked for from {device}.</>}</Note>
      </Section>
    </Layout>
  );
}

PasswordReset.PreviewProps = {
  shop: 'Northwind',
  name: 'Ada',
  url: 'https://shop.example.com/reset/5b1f0c7e',
  minutes: 30,
  device: 'Firefox on Linux, near Oslo',
  help: 'https://shop.example.com/help',
} satisfies PasswordResetProps;
