import { Body, Head, Html, Markdown, Tailwind } from '@react-email/components';

export default function MarkdownInTailwind() {
  return (
    <Html>
      <Tailwind>
        <Head />
        <Body className="font-serif"><Markdown>{'## Hi\n\n* a\n* b'}</Markdown></Body>
      </Tailwind>
    </Html>
  );
}
