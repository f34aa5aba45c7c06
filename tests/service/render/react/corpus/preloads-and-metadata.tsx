import { Body, Head, Html, Img } from 'react-email';

export default function PreloadsAndMetadata() {
  return (
    <Html>
      <Head><title>In head</title><link rel="stylesheet" href="https://example.com/a.css" /></Head>
      <Body>
        <title>In body</title>
        <meta name="late" content="1" />
        <link rel="icon" href="https://example.com/i.ico" />
        <link rel="preload" as="font" href="https://example.com/f.woff2" />
        <Img src="https://example.com/hero.png" alt="hero" />
        <style href="s" precedence="low">{'.a{}'}</style>
        <script type="application/ld+json" dangerouslySetInnerHTML={{ __html: '{"@type":"Order"}' }} />
      </Body>
    </Html>
  );
}
