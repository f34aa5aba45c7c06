import { Html, Link } from 'react-email';
function track(href: string, campaign: string) {
  const url = new URL(href, 'https://example.com/base/');
  url.searchParams.set('utm_source', 'mail & more');
  url.searchParams.append('utm_campaign', campaign);
  url.hash = 'top';
  return url.toString();
}
export default function Mail({ id }: { id: string }) {
  const query = new URLSearchParams({ id, q: 'a b+c&d=é', tilde: "~!'()*" });
  query.append('x', '1'); query.delete('none');
  const u = new URL('https://user:pw@Example.COM:8443/a/../b/./c%20d?x=1&y=%20#frag');
  return <Html>
    <Link href={track('../path?a=1', 'weekly')}>one</Link>
    <Link href={track('https://ünï.example/ä b', 'x')}>two</Link>
    <Link href={`https://example.com/?${query}`}>three</Link>
    <p>{u.host} {u.hostname} {u.port} {u.pathname} {u.search} {u.hash} {u.origin} {u.protocol} {u.username} {u.password} {u.href}</p>
    <p>{[...query].map(([k, v]) => `${k}:${v}`).join('|')} {query.get('id')} {String(query.has('zz'))} {query.getAll('x').length} {query.size}</p>
    <p>{String(URL.canParse('nope'))} {(() => { try { new URL('/x'); return 'ok'; } catch (e) { return (e as Error).name; } })()}</p>
  </Html>;
}
Mail.PreviewProps = { id: 'a/b?c' };
