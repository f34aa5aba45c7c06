import { Link } from 'react-email';
import { Action, Layout, Note, Small, Title, Words } from './northwind/layout';
import { look } from './northwind/theme';

interface InvitationProps {
  shop: string;
  name?: string;
  inviter: { name: string; email?: string };
  team: { name: string; members?: string[] };
  message?: string;
  url: string;
  expires?: string;
  help?: string;
}

export const subject = ({ inviter, team }: InvitationProps) => `${inviter.name} invites you to ${team.name}`;

export const schema = {
  type: 'object',
  required: ['shop', 'inviter', 'team', 'url'],
  properties: {
    shop: { type: 'string', description: "The sender's name" },
    name: { type: 'string', description: 'Whom it is for' },
    inviter: {
      type: 'object',
      required: ['name'],
      properties: { name: { type: 'string' }, email: { type: 'string' } },
    },
    team: {
      type: 'object',
      required: ['name'],
      properties: { name: { type: 'string' }, members: { type: 'array', items: { type: 'string' } } },
    },
    message: { type: 'string', description: "The inviter's own words" },
    url: { type: 'string', description: 'The page on which the invitation is accepted' },
    expires: { type: 'string' },
    help: { type: 'string', description: 'The help page' },
  },
};

const among = (members: string[]) => members.slice(0, 3).join(', ') + (members.length > 3 ? ` and ${members.length - 3} more` : '');

export default function Invitation({ shop, name, inviter, team, message, url, expires, help }: InvitationProps) {
  return (
    <Layout shop={shop} help={help} preview={`Join ${inviter.name} on ${shop}`} reason="Not expecting it? You can ignore this mail.">
      <Title>Join {team.name}</Title>
      <Words>
        {name && `Hello ${name}, `}<strong>{inviter.name}</strong>
        {inviter.email && <> (<Link href={`mailto:${inviter.email}`} className={`no-underline ${look.accent}`}>{inviter.email}</Link>)</>} invites
        you to work together on {shop}.
      </Words>
      {message && <Note>“{message}”</Note>}
      <Action href={url}>Accept the invitation</Action>
      {team.members?.length ? <Small>Already there: {among(team.members)}.</Small> : null}
      {expires && <Small>The invitation is good until {expires}.</Small>}
    </Layout>
  );
}

Invitation.PreviewProps = {
  shop: 'Northwind',
  name: 'Grace',
  inviter: { name: 'Ada Lovelace', email: 'ada@example.com' },
  team: {
    name: 'Analytical Engines',
    members: ['Ada Lovelace', 'Charles Babbage', 'Mary Somerville', 'Luigi Menabrea', 'Augustus De Morgan'],
  },
  message: 'We are about to start on the compiler, and nobody here has written one. You would have free rein!',
  url: 'https://shop.example.com/invitations/7Qm2',
  expires: '8 December',
  help: 'https://shop.example.com/help',
} satisfies InvitationProps;
