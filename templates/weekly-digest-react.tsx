import { Column, Img, Link, Row, Section, Text } from 'react-email';
import { Action, Layout, Rule, Small, Title, Words } from './northwind/layout';
import { look } from './northwind/theme';

interface Figure {
  label: string;
  value: number;
  change: number;
}

interface Story {
  title: string;
  summary: string;
  url: string;
  image?: string;
  alt?: string;
}

interface WeeklyDigestProps {
  shop: string;
  name: string;
  week: string;
  figures: Figure[];
  stories: Story[];
  url: string;
  help?: string;
}

const day = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'long', timeZone: 'UTC' });
const number = new Intl.NumberFormat('en');
const sign = (change: number) => ({ '-1': '−', 0: '', 1: '+' })[Math.sign(change)];

export const subject = ({ shop, week }: WeeklyDigestProps) => `Your week at ${shop}: ${day.format(new Date(week))}`;

export const schema = {
  type: 'object',
  required: ['shop', 'name', 'week', 'figures', 'stories', 'url'],
  properties: {
    shop: { type: 'string', description: "The sender's name" },
    name: { type: 'string' },
    week: { type: 'string', description: "The week's first day, as in 2026-03-09" },
    figures: {
      type: 'array',
      maxItems: 3,
      items: {
        type: 'object',
        required: ['label', 'value', 'change'],
        properties: {
          label: { type: 'string' },
          value: { type: 'integer' },
          change: { type: 'integer', description: 'Percent, against the week before' },
        },
      },
    },
    stories: {
      type: 'array',
      items: {
        type: 'object',
        required: ['title', 'summary', 'url'],
        properties: {
          title: { type: 'string' },
          summary: { type: 'string' },
          url: { type: 'string' },
          image: { type: 'string', description: '72 by 72 pixels' },
          alt: { type: 'string', description: 'What the image shows' },
        },
      },
    },
    url: { type: 'string', description: 'The page with everything' },
    help: { type: 'string', description: 'The help page' },
  },
};

const Figure = ({ label, value, change }: Figure) => (
  <Column align="left" className="p-5 align-top max-sm:px-3">
    <Text className={`m-0 text-xs leading-5 ${look.muted}`}>{label}</Text>
    <Text className={`m-0 text-2xl font-semibold max-sm:text-lg ${look.ink}`}>{number.format(value)}</Text>
    <Text className={`m-0 text-xs leading-5 font-semibold ${change < 0 ? look.alert : look.accent}`}>{sign(change)}{Math.abs(change)}%</Text>
  </Column>
);

const Story = ({ title, summary, url, image, alt = '' }: Story) => (
  <Section className="mt-7">
    <Row>
      {image && <Column width="92" className="w-[92px] align-top"><Img src={image} width="72" height="72" alt={alt} className="rounded-lg" /></Column>}
      <Column className="align-top">
        <Link href={url} className={`text-base font-semibold no-underline hover:underline ${look.accent}`}>{title}</Link>
        <Text className={`m-0 mt-1 text-sm ${look.muted}`}>{summary}</Text>
      </Column>
    </Row>
  </Section>
);

export default function WeeklyDigest({ shop, name, week, figures, stories, url, help }: WeeklyDigestProps) {
  return (
    <Layout shop={shop} help={help} preview={stories[0]?.title ?? 'A quiet week'} reason={`You get this digest every week from ${shop}.`}>
      <Title>Good morning, {name}</Title>
      <Words>Here is the week of {day.format(new Date(week))}.</Words>
      {figures.length > 0 && (
        <Section className={`mt-6 rounded-lg ${look.soft}`}>
          <Row className="table-fixed">{figures.map((figure) => <Figure key={figure.label} {...figure} />)}</Row>
        </Section>
      )}
      {stories.map((story) => <Story key={story.url} {...story} />)}
      <Rule />
      <Action href={url}>Read everything</Action>
      <Small>Too much? Choose what you get in your settings.</Small>
    </Layout>
  );
}

WeeklyDigest.PreviewProps = {
  shop: 'Northwind',
  name: 'Ada',
  week: '2026-03-09',
  figures: [
    { label: 'Visitors', value: 18240, change: 12 },
    { label: 'Orders', value: 412, change: -3 },
    { label: 'Reviews', value: 37, change: 40 },
  ],
  stories: [
    {
      title: 'The dotted notebook is back',
      summary: 'In A5 and A4, with paper that takes ink without bleeding.',
      url: 'https://shop.example.com/s/1',
    },
    {
      title: 'How we pack without plastic',
      summary: 'Paper tape, folded boxes, and what we learnt from 2,000 parcels.',
      url: 'https://shop.example.com/s/2',
    },
    {
      title: 'Three pens for left-handed writers',
      summary: 'Fast-drying ink, and a nib that forgives.',
      url: 'https://shop.example.com/s/3',
    },
  ],
  url: 'https://shop.example.com/digest',
  help: 'https://shop.example.com/help',
} satisfies WeeklyDigestProps;
