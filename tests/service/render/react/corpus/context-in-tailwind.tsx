import { createContext, useContext, useId, useState } from 'react';
import { Body, Head, Html, Tailwind, Text } from 'react-email';

const Locale = createContext('en');

function Line({ children }: { children: React.ReactNode }) {
  const locale = useContext(Locale);
  const [seen] = useState('once');
  const id = useId();
  return <Text id={id} className="text-sm text-gray-700">{children} {locale} {seen}</Text>;
}

export default function ContextInTailwind() {
  return (
    <Locale.Provider value="de">
      <Html>
        <Tailwind>
          <Head />
          <Body className="p-4"><Line>one</Line><Line>two</Line></Body>
        </Tailwind>
      </Html>
    </Locale.Provider>
  );
}
