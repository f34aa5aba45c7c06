import { Fragment } from 'react';
import { Body, Column, Head, Html, Row, Section, Tailwind, Text } from 'react-email';

const Pair = ({ label, value }: { label: string; value?: React.ReactNode }) => (
  <>
    <Column className="w-1/2 text-gray-500">{label}</Column>
    <Column className="w-1/2 text-right font-bold">{value}</Column>
  </>
);

export default function ListsInTailwind() {
  return (
    <Html>
      <Tailwind>
        <Head><title>Lists {1 + 1}</title></Head>
        <Body className="m-0">
          <Section>
            {[1, 2, 3].map((n) => (
              <Row key={n} className={n % 2 ? 'bg-gray-50' : undefined}>
                <Pair label={`Row ${n}`} value={n === 2 ? null : [n, ' of ', <b key="b" className="text-red-600">three</b>]} />
              </Row>
            ))}
          </Section>
          <Fragment>{[['deep', [<Text key="t" className="m-1">text</Text>]]]}</Fragment>
          {null}{false}{0}{''}
          <Text className="" />
          <Text className="  m-2   unknown-class   p-2 ">odd blanks</Text>
        </Body>
      </Tailwind>
    </Html>
  );
}
