import { Html } from 'react-email';

export default function Attributes() {
  const props = { 'data-json': JSON.stringify({ a: '<b>' }), 'x-custom': 'yes' };
  return (
    <Html lang="en-GB">
      <head><meta charSet="utf-8" /><meta httpEquiv="X-UA" content="IE=edge" /></head>
      <body bgcolor="#fff" {...props} tabIndex={-1} contentEditable={false} spellCheck draggable={false} itemScope>
        <input type="checkbox" checked readOnly disabled={false} defaultValue="v" />
        <select defaultValue="2"><option value="1">one {1}</option><option value="2">two</option></select>
        <textarea defaultValue={'\nfirst\n<b>'} />
        <label htmlFor="a" className="c">l</label>
        <a href="javascript:alert(1)">js</a>
        <svg viewBox="0 0 10 10" xmlns="http://www.w3.org/2000/svg"><path strokeWidth={2} d="M0 0" xlinkHref="#x" /><foreignObject><p>in</p></foreignObject></svg>
        <td width="10" noWrap bgcolor="red" background="x.png" />
        <custom-element some-prop="1" onClick={() => {}} />
        <p style={{ '--var': 3, WebkitTextSizeAdjust: '100%', msTextSizeAdjust: '100%', lineHeight: 1.5, zIndex: 2, flex: 1, margin: 0, padding: '' } as React.CSSProperties}>{'"\'<>&'}</p>
        <pre>{'\n leading'}</pre>
      </body>
    </Html>
  );
}
