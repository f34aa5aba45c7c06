/** @jsxImportSource react */
import { Html, Text } from 'react-email';
export default () => (
  <Html>
    <Text>
      a
      b   {' '}
      c &lt; &#169; &#x1F600; &unknown; {/* comment */}
      "quoted" 'single' \n {`t`} {'\n'}
      {0} {''} {false} {null} {undefined} {NaN} {-0} {1e21} {"a" + 1}
    </Text>
    <Text data-x="a &amp; b" title='it"s' aria-label="línea
      dos" {...{ 'data-y': 1 }} hidden tabIndex={0}>x</Text>
    <svg viewBox="0 0 1 1" xmlnsXlink="x"><path strokeWidth={2} d="M0 0" /></svg>
    <input type="checkbox" defaultChecked readOnly value="v" /><select defaultValue="b"><option value="a">A</option><option value="b">B</option></select><textarea defaultValue={'\nx'} />
    <custom-element class="q" some-prop={1}>c</custom-element>
    <table cellPadding={0} cellSpacing="0" border={0} align="center"><tbody><tr><td colSpan={2} style={{ lineHeight: 1.5, margin: 0, padding: 4, WebkitTextSizeAdjust: '100%', msTextSizeAdjust: 'x', '--x': 3, color: undefined, zIndex: 2, flex: 1 } as any}>x</td></tr></tbody></table>
  </Html>
);
