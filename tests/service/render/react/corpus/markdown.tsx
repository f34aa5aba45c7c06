import { Body, Head, Html, Markdown } from 'react-email';

const text = `# Release 2.0

Hello **world**, _this_ is ~~not~~ [a link](https://example.com "title").

> quoted & <b>bold</b>

1. one
2. two
   - nested

| a | b |
|:--|--:|
| 1 | 2 |

\`\`\`js
const x = '<y>';
\`\`\`

![alt "text"](https://example.com/a.png)

---
Line  
break and \`code\``;

export default function MarkdownMail() {
  return (
    <Html>
      <Head />
      <Body>
        <Markdown markdownCustomStyles={{ h1: { color: 'red' }, codeInline: { background: 'grey', fontFamily: '"Fira Code"' } }} markdownContainerStyles={{ padding: '12px', border: 'solid 1px black' }}>
          {text}
        </Markdown>
      </Body>
    </Html>
  );
}
