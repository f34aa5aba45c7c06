import { Body, Head, Html, Tailwind, Text } from 'react-email';

const theme = '@theme { --color-mint: #3eb489; --spacing-huge: 99px; --font-fancy: "Comic Sans MS", cursive; }';
const utility = '.glow { text-shadow: 0 0 4px yellow; }';

export default function TailwindThemeCss() {
  return (
    <Html>
      <Tailwind theme={theme} utility={utility}>
        <Head />
        <Body><Text className="glow p-huge font-fancy text-mint sm:text-mint/50">theme as CSS</Text></Body>
      </Tailwind>
    </Html>
  );
}
