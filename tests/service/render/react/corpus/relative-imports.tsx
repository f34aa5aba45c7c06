import { Body, Html } from 'react-email';
import { Footer, type FooterProps } from './shared';
import * as dates from './shared/dates.js';
import legacy, { half } from './shared/legacy';
import labels from './shared/labels.json';
import { first } from './shared/cycle-a';

export default function RelativeImports() {
  const footer: FooterProps = { year: 2026 };
  return (
    <Html>
      <Body>
        {dates.short(new Date(Date.UTC(2026, 0, 2)))} {legacy(4)} {half(3)} {labels.hello} {labels.list.length} {first()}
        <Footer {...footer} />
      </Body>
    </Html>
  );
}
