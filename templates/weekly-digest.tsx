import { Column, Img, Link, Row, Section, Text } from 'react-email';
import { Action, Layout, Rule, Small, Title, Words } from './northwind/layout';

interface Story {
  title: string;
  summary: string;
  url: string;
  image?: string;
}

interface WeeklyDigestProps {
  shop: string;
  name: string;
  week: string;
  figures: { label: string; value: number; change: number }[];
  stories: Story[];
  url: string;
  help?: string;
}

const day = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'long' });
const number = new Intl.NumberFormat('en', { notation: 'compact' });
const percent = new Intl.NumberFormat('en', { style: 'percent', signDisplay: 'exceptZero' });

export const subject = ({ shop, week }: WeeklyDigestProps) => `Your week at ${shop}: ${day.format(new Date(week))}`;

const Figure = ({ label, value, change }: WeeklyDigestProps['figures'][number]) => (
  <Column align="center" className="rounded-lg bg-brand-soft px-2 py-4">
    <Text className="m-0 font-serif text-2xl font-bold text-brand">{number.format(value)}</Text>
    <Text className="m-0 text-xs text-muted">{label}</Text>
    <Text className={`m-0 text-xs font-bold ${change < 0 ? 'text-[#b3402a]' : 'text-brand'}`}>{percent.format(change)}</Text>
  </Column>
);

export default function WeeklyDigest({ shop, name, week, figures, stories, url, help }: WeeklyDigestProps) {
  return (
    <Layout shop={shop} help={help} preview={stories[0]?.title ?? 'A quiet week'} reason={`You get this digest every week from ${shop}.`}>
      <Title>Good morning, {name}</Title>
      <Words>Here is the week of {day.format(new Date(week))}.</Words>
      <Section>
        <Row className="border-separate [border-spacing:6px_0]">{figures.map((figure) => <Figure key={figure.label} {...figure} />)}</Row>
      </Section>
      {stories.map(({ title, summary, url: link, image }) => (
        <Section key={title} className="mt-6">
          <Row>
            {image && <Column className="w-[88px] align-top"><Img src={image} width="72" height="72" alt="" className="rounded-lg" /></Column>}
            <Column className="align-top">
              <Link href={link} className="text-base font-bold text-ink no-underline hover:underline">{title}</Link>
              <Text className="m-0 mt-1 text-sm text-muted">{summary}</Text>
            </Column>
          </Row>
        </Section>
      ))}
      <Rule />
      <Action href={url}>Read everything</Action>
      <Section className="mt-6"><Small>Too much? Choose what you get in your settings.</Small></Section>
    </Layout>
  );
}

const tile = (color: string) => `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" width="72" height="72"><rect width="72" height="72" fill="${color}"/></svg>`)}`;

WeeklyDigest.PreviewProps = {
  shop: 'Northwind',
  name: 'Ada',
  week: '2026-03-09',
  figures: [
    { label: 'visitors', value: 18240, change: 0.12 },
    { label: 'orders', value: 412, change: -0.03 },
    { label: 'reviews', value: 37, change: 0.4 },
  ],
  stories: [
    { title: 'The dotted notebook is back', summary: 'In A5 and A4, with paper that takes ink without bleeding.', url: 'https://shop.example.com/s/1', image: tile('#1f5c4d') },
    { title: 'How we pack without plastic', summary: 'Paper tape, folded boxes, and what we learnt from 2,000 parcels.', url: 'https://shop.example.com/s/2', image: tile('#c8a45c') },
    { title: 'Three pens for left-handed writers', summary: 'Fast-drying ink, and a nib that forgives.', url: 'https://shop.example.com/s/3' },
  ],
  url: 'https://shop.example.com/digest',
  help: 'https://shop.example.com/help',
} satisfies WeeklyDigestProps;
