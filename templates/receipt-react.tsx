import { Section } from 'react-email';
import { Action, Entry, Layout, Note, Small, Title, Words } from './northwind/layout';

interface ReceiptProps {
  order: string;
  shop: string;
  name: string;
  items: { title: string; quantity: number; price: string }[];
  total: string;
  paid?: boolean;
  card?: string;
  url: string;
  help?: string;
}

export const subject = ({ order, shop }: ReceiptProps) => `Receipt ${order} from ${shop}`;

export const schema = {
  type: 'object',
  required: ['order', 'shop', 'name', 'items', 'total', 'url'],
  properties: {
    order: { type: 'string' },
    shop: { type: 'string', description: "The sender's name" },
    name: { type: 'string' },
    items: {
      type: 'array',
      items: {
        type: 'object',
        required: ['title', 'quantity', 'price'],
        properties: { title: { type: 'string' }, quantity: { type: 'integer' }, price: { type: 'string' } },
      },
    },
    total: { type: 'string' },
    paid: { type: 'boolean' },
    card: { type: 'string', description: 'Last four digits of the card' },
    url: { type: 'string', description: "The order's page" },
    help: { type: 'string', description: 'The help page' },
  },
};

function payment(paid?: boolean, card?: string) {
  if (!paid) return 'Payment is due on delivery.';
  return card ? `Paid with the card ending in ${card}.` : 'Paid, thank you.';
}

export default function Receipt({ order, shop, name, items, total, paid, card, url, help }: ReceiptProps) {
  return (
    <Layout shop={shop} help={help} preview={`Your order ${order} is on its way: ${total}`} reason={`You get this mail because you ordered from ${shop}.`}>
      <Title>Thanks, {name}!</Title>
      <Words>We received your order <strong>{order}</strong> and are getting it ready.</Words>
      <Section className="mb-4 mt-6">
        {items.map(({ title, quantity, price }, index) => (
          <Entry key={index} label={title} detail={quantity > 1 && `× ${quantity}`} value={price} />
        ))}
        <Entry label="Total" value={total} last strong />
      </Section>
      <Note>{payment(paid, card)}</Note>
      <Action href={url}>View your order</Action>
      <Small>Something not right? Reply to this mail and a person will read it.</Small>
    </Layout>
  );
}

Receipt.PreviewProps = {
  order: 'A-1042',
  shop: 'Northwind',
  name: 'Ada',
  items: [
    { title: 'Notebook, dotted, A5', quantity: 2, price: '$18.00' },
    { title: 'Fountain pen', quantity: 1, price: '$49.00' },
    { title: 'Ink, blue-black', quantity: 3, price: '$27.00' },
    { title: 'Desk lamp', quantity: 1, price: '$64.00' },
    { title: 'Paper clips', quantity: 10, price: '$9.50' },
    { title: 'Tote bag', quantity: 1, price: '$15.00' },
    { title: 'Sticker set', quantity: 2, price: '$6.00' },
    { title: 'Pencil case', quantity: 1, price: '$12.00' },
    { title: 'Ruler, steel', quantity: 1, price: '$8.00' },
    { title: 'Gift wrap', quantity: 1, price: '$11.00' },
  ],
  total: '$219.50',
  paid: true,
  card: '4242',
  url: 'https://shop.example.com/o/A-1042',
  help: 'https://shop.example.com/help',
} satisfies ReceiptProps;
