import { Body, Head, Html, Text } from 'react-email';

const Outlook = ({ children, not = false }: { children: string; not?: boolean }) => (
  <div dangerouslySetInnerHTML={{ __html: not ? `<!--[if !mso]><!-->${children}<!--<![endif]-->` : `<!--[if mso]>${children}<![endif]-->` }} />
);

export default function OutlookMail() {
  return (
    <Html xmlns="http://www.w3.org/1999/xhtml" style={{ msoLineHeightRule: 'exactly' } as React.CSSProperties}>
      <Head>
        <style dangerouslySetInnerHTML={{ __html: '<!-- .a { mso-table-lspace: 0 } -->' }} />
      </Head>
      <Body>
        <Outlook>{'<table><tr><td>only Outlook</td></tr></table>'}</Outlook>
        <Outlook not>{'<p>all others</p>'}</Outlook>
        <div dangerouslySetInnerHTML={{ __html: '<v:rect fill="t"><o:lock v:ext="edit"/></v:rect>' }} />
        <Text dangerouslySetInnerHTML={{ __html: '&nbsp;<em>raw</em> &copy;' }} />
      </Body>
    </Html>
  );
}
