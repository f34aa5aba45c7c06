import { Suspense, use } from 'react';
import { Body, Html, Text } from 'react-email';

const late = Promise.resolve().then(() => 'late news');

function News() {
  return <Text>{use(late)}</Text>;
}

export default function SuspenseAndUse() {
  return (
    <Html>
      <Body>
        <Suspense fallback={<Text>loading</Text>}>
          <News />
        </Suspense>
        <Text>after</Text>
      </Body>
    </Html>
  );
}
