import { Section } from 'react-email';
import { Action, Entry, Layout, Small, Title, Words } from './northwind/layout';

interface PaymentFailedProps {
  shop: string;
  name: string;
  plan: string;
  amount: string;
  card?: string;
  reason?: string;
  retry?: string;
  url: string;
  help?: string;
}

export const subject = ({ shop }: PaymentFailedProps) => `Your payment to ${shop} did not go through`;

export const schema = {
  type: 'object',
  required: ['shop', 'name', 'plan', 'amount', 'url'],
  properties: {
    shop: { type: 'string', description: "The sender's name" },
    name: { type: 'string' },
    plan: { type: 'string' },
    amount: { type: 'string' },
    card: { type: 'string', description: 'Last four digits of the card' },
    reason: { type: 'string', description: 'What the bank said' },
    retry: { type: 'string', description: 'The day of the next try' },
    url: { type: 'string', description: 'The page on which the card is changed' },
    help: { type: 'string', description: 'The help page' },
  },
};

export default function PaymentFailed({ shop, name, plan, amount, card, reason, retry, url, help }: PaymentFailedProps) {
  return (
    <Layout shop={shop} help={help} preview={`Update your card to keep ${plan}`} reason={`You get this mail because you have a plan at ${shop}.`}>
      <Title>Your payment did not go through</Title>
      <Words>
        Hello {name}, we could not charge {card ? `the card ending in ${card}` : 'your card'}. Nothing has changed yet: update your card
        and all goes on as before.
      </Words>
      <Section className="mt-6">
        <Entry label="Plan" value={plan} />
        {reason && <Entry label="Reason" value={reason} />}
        {retry && <Entry label="Next try" value={retry} />}
        <Entry label="Amount due" value={amount} last strong />
      </Section>
      <Action href={url}>Update your card</Action>
      <Small>Already paid? Then you need not do anything. We never ask for a card number by mail.</Small>
    </Layout>
  );
}

PaymentFailed.PreviewProps = {
  shop: 'Northwind',
  name: 'Ada',
  plan: 'Studio, monthly',
  amount: '$24.00',
  card: '4242',
  reason: 'The card has expired',
  retry: '28 November',
  url: 'https://shop.example.com/billing',
  help: 'https://shop.example.com/help',
} satisfies PaymentFailedProps;
