import type { ReactNode } from 'react';
import { Body, Html, Text } from 'react-email';

type Props = { at: Date; badge: ReactNode; format: (n: number) => string; ids: Set<number>; big: bigint; gap?: undefined };

export default function NotJson({ at, badge, format, ids, big }: Props) {
  return (
    <Html>
      <Body>
        <Text>{at.toISOString()} {badge} {format(3)} {[...ids].join('+')} {big} {(big * 2n).toString()}</Text>
      </Body>
    </Html>
  );
}
NotJson.PreviewProps = {
  at: new Date(Date.UTC(2026, 2, 14, 15, 9, 26)),
  badge: <strong>new</strong>,
  format: (n: number) => n.toFixed(2),
  ids: new Set([1, 2, 3]),
  big: 9007199254740993n,
} as Props;
