import type { ReactNode } from 'react';
import { Body, Button, Column, Container, Head, Heading, Hr, Html, Link, Preview, Row, Section, Tailwind, Text } from 'react-email';
import theme, { look } from './theme';

interface LayoutProps {
  preview: string;
  shop: string;
  help?: string;
  reason: string;
  children: ReactNode;
}

type Inner = { children: ReactNode };

/** Head, brand, card and footer around a mail. */
export function Layout({ preview, shop, help, reason, children }: LayoutProps) {
  return (
    <Html lang="en">
      <Tailwind config={theme}>
        <Head>
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <meta name="color-scheme" content="light dark" />
          <meta name="supported-color-schemes" content="light dark" />
          <title>{shop}</title>
        </Head>
        <Body className={`m-0 font-sans ${look.canvas}`}>
          <Preview>{preview}</Preview>
          <Section className={look.canvas}><Row><Column align="center" className="px-3 py-10">
            <Container className="mx-auto max-w-[560px]">
              <Section className="pb-5">
                <Row className="ml-1 w-auto" align="left">
                  <Column width="28" height="28" align="center" aria-hidden="true" data-skip-in-text="true" className={`size-7 rounded-md text-sm leading-7 font-bold ${look.filled}`}>{[...shop][0]?.toUpperCase()}</Column>
                  <Column className={`pl-3 text-base font-semibold ${look.ink}`}>{shop}</Column>
                </Row>
              </Section>
              <Section><Row><Column align="left" className={`rounded-xl p-10 max-sm:px-6 max-sm:py-8 ${look.card}`}>{children}</Column></Row></Section>
              <Section className="pt-6">
                <Text className={`m-0 px-1 text-left text-xs leading-5 ${look.muted}`}>
                  {reason}
                  {help && <>{' '}<Link href={help} className={`underline ${look.muted}`}>Get help</Link></>}
                </Text>
              </Section>
            </Container>
          </Column></Row></Section>
        </Body>
      </Tailwind>
    </Html>
  );
}

export const Title = ({ children }: Inner) => (
  <Heading as="h1" className={`m-0 mb-3 text-2xl font-semibold tracking-[-0.01em] ${look.ink}`}>{children}</Heading>
);

export const Words = ({ children }: Inner) => <Text className={`m-0 mb-4 text-base ${look.ink}`}>{children}</Text>;

export const Small = ({ children }: Inner) => <Text className={`m-0 text-sm ${look.muted}`}>{children}</Text>;

export const Rule = () => <Hr className={`my-7 w-full border-0 border-t border-solid ${look.rule}`} />;

export const Action = ({ href, children }: Inner & { href: string }) => (
  <Section className="my-7"><Button href={href} className={`rounded-lg px-6 py-3 text-base font-semibold ${look.filled}`}>{children}</Button></Section>
);

export const Note = ({ children }: Inner) => (
  <Section><Row><Column className={`rounded-lg px-5 py-4 text-sm ${look.soft} ${look.ink}`}>{children}</Column></Row></Section>
);

interface EntryProps {
  label: string;
  detail?: string | false;
  value: string;
  last?: boolean;
  strong?: boolean;
}

/** A line of a list: what it is on the left, its value on the right. */
export function Entry({ label, detail, value, last = false, strong = false }: EntryProps) {
  const size = `py-3 align-top ${strong ? 'text-base font-semibold' : 'text-sm'} ${last ? '' : look.line} ${look.ink}`;
  return (
    <Row>
      <Column className={`pr-4 ${size}`}>{label}{detail && <>{' '}<span className={look.muted}>{detail}</span></>}</Column>
      <Column align="right" className={`whitespace-nowrap ${size}`}>{value}</Column>
    </Row>
  );
}
