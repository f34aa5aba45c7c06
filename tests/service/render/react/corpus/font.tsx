import { Body, Font, Head, Html, Text } from 'react-email';

export default function FontMail() {
  return (
    <Html>
      <Head>
        <title>Fonts &amp; more</title>
        <Font fontFamily="Roboto" fallbackFontFamily={['Verdana', 'sans-serif']} webFont={{ url: 'https://fonts.example.com/r.woff2', format: 'woff2' }} fontWeight={700} fontStyle="italic" />
        <Font fontFamily="Inter" fallbackFontFamily="Arial" />
        <style>{'.x > .y { color: red; content: "\\201C" }'}</style>
        <meta name="color-scheme" content="light dark" />
      </Head>
      <Body><Text>text</Text></Body>
    </Html>
  );
}
