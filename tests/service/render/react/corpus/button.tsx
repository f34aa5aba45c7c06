import { Body, Button, Html } from 'react-email';

export default function Buttons() {
  return (
    <Html>
      <Body>
        <Button href="https://example.com/?a=1&b=2" style={{ padding: '12px 20px', color: '#fff' }}>Click <b>me</b></Button>
        <Button href="mailto:a@example.com" target="_self" style={{ paddingLeft: 5, paddingTop: '1em', paddingBottom: 0 }}>Pad</Button>
        <Button>Nothing</Button>
        <Button style={{ padding: '1rem 2rem 3rem' }} id="b" data-x="y" aria-label={'"q"'}>Rems</Button>
      </Body>
    </Html>
  );
}
