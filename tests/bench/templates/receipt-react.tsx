import { Column, Row, Section, Text } from 'react-email';
import { Action, Layout, Rule, Small, Title, Words } from './northwind/layout';

interface Item {
  title: string;
  quantity: number;
  price: string;
}

interface ReceiptProps {
  order: string;
  shop: string;
  name: string;
  items: Item[];
  total: string;
  paid?: boolean;
  card?: string;
  url: string;
  help?: string;
}

export const subject = ({ order, shop }: ReceiptProps) => `Receipt ${order} from ${shop}`;

export default function Receipt({ order, shop, name, items, total, paid = false, card, url, help }: ReceiptProps) {
  return (
    <Layout shop={shop} help={help} preview={`Your order ${order} is on its way`} reason={`You get this mail because you ordered from ${shop}.`}>
      <Title>Thanks, {name}!</Title>
      <Words>We received your order <strong>{order}</strong> and are getting it ready.</Words>
      <Section className="mt-6">
        {items.map(({ title, quantity, price }) => (
          <Row key={title}>
            <Column className="border-0 border-b border-solid border-line py-3 text-sm">
              {title}{quantity > 1 && <span className="text-muted"> × {quantity}</span>}
            </Column>
            <Column align="right" className="whitespace-nowrap border-0 border-b border-solid border-line py-3 text-sm font-bold">{price}</Column>
          </Row>
        ))}
        <Row>
          <Column className="pt-4 text-lg font-bold">Total</Column>
          <Column align="right" className="pt-4 text-lg font-bold text-brand">{total}</Column>
        </Row>
      </Section>
      <Text className="m-0 mb-6 mt-2 rounded-lg bg-brand-soft px-4 py-3 text-sm text-brand">
        {paid ? `Paid by card ending ${card}.` : 'Payment due on delivery.'}
      </Text>
      <Action href={url}>View your order</Action>
      <Rule />
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
  ],
  total: '$158.00',
  paid: true,
  card: '4242',
  url: 'https://shop.example.com/o/A-1042',
  help: 'https://shop.example.com/help',
} satisfies ReceiptProps;
