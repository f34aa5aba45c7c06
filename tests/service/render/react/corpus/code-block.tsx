import { Body, CodeBlock, CodeInline, Head, Html, dracula, oneLight } from 'react-email';

const code = `export default async (req: Request) => {
  // a comment with <tags> & "quotes"
  const n: number = 0x2a ?? await fetch(\`https://example.com/\${req.url}\`);
  return new Response("ok", { status: 200 });
}`;

export default function CodeBlockMail() {
  return (
    <Html>
      <Head />
      <Body>
        <CodeBlock code={code} language="typescript" theme={dracula} lineNumbers fontFamily="'CommitMono', monospace" />
        <CodeBlock code={'print("hi")\nfor x in range(3): pass'} language="python" theme={oneLight} style={{ margin: 4 }} />
        <CodeBlock code={'<p class="x">hi</p>'} language="html" theme={dracula} />
        <CodeInline>npm install</CodeInline>
      </Body>
    </Html>
  );
}
