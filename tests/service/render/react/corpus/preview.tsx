import { Body, Head, Html, Preview } from 'react-email';

export default function PreviewMail({ text = 'Your order is on its way' }) {
  return (
    <Html>
      <Head />
      <Preview>{['Hello ', 'there, ', text]}</Preview>
      <Body>body</Body>
    </Html>
  );
}
