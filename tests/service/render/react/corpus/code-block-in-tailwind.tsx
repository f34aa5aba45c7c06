import { Body, CodeBlock, CodeInline, Head, Html, Tailwind, nightOwl } from '@react-email/components';

export default function CodeBlockInTailwind() {
  return (
    <Html>
      <Tailwind>
        <Head />
        <Body className="p-2">
          <CodeBlock code="SELECT 1;" language="sql" theme={nightOwl} />
          <CodeInline className="rounded bg-gray-200 px-1">x = 1</CodeInline>
        </Body>
      </Tailwind>
    </Html>
  );
}
