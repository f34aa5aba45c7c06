import { Body, Html, Text } from 'react-email';

type BoxProps = React.PropsWithChildren<{ tone?: 'calm' | 'loud'; pad?: number | string }>;
const Box = ({ tone = 'calm', pad = 8, children, ...rest }: BoxProps & React.HTMLAttributes<HTMLDivElement>) => (
  <div {...rest} data-tone={tone} style={{ padding: pad }}>{children ?? 'empty'}</div>
);

export default function DefaultsAndChildren({ items = [1, 0, 2], note = null as string | null }) {
  return (
    <Html>
      <Body>
        <Box />
        <Box tone="loud" pad="1em" title="a &quot;title&quot;" hidden>{items.map((n) => n || <em key={n}>zero</em>)}</Box>
        <Box>{false}{null}{undefined}{0}{''}{NaN}</Box>
        <Text>{note ?? <>no <b>note</b></>}</Text>
      </Body>
    </Html>
  );
}
