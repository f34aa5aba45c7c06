import { Body, Html, Img } from 'react-email';

export default function Images() {
  return (
    <Html>
      <Body>
        <Img src="https://example.com/a.png?x=1&y=2" alt="Logo &amp; more" width="120" height="32" />
        <Img src="cid:logo" alt="" style={{ display: 'inline-block', borderRadius: '50%' }} />
        <Img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" width={1} height={1} alt="pixel" />
        <img src="https://example.com/b.png" srcSet="b.png 1x, b2.png 2x" loading="lazy" alt="b" fetchPriority="high" />
        <picture><source srcSet="c.webp" type="image/webp" /><img src="c.png" alt="c" /></picture>
      </Body>
    </Html>
  );
}
