import { Html, Text } from 'react-email';
export default function Mail() {
  const d = new Date(Date.UTC(2024, 1, 29, 13, 5));
  return <Html><Text>{d.toString()} {d.toLocaleDateString()} {d.toLocaleString('de-DE', { timeZone: 'Europe/Berlin' })} {new Intl.DateTimeFormat('ja-JP', { dateStyle: 'full' }).format(d)} {new Intl.NumberFormat('de', { style: 'currency', currency: 'EUR' }).format(1234.5)} {new Intl.PluralRules('ar').select(3)} {new Intl.ListFormat('en').format(['a', 'b', 'c'])} {new Intl.RelativeTimeFormat('fr').format(-1, 'day')} {(12345.678).toLocaleString('en-IN')} {'İ'.toLowerCase()} {'ß'.localeCompare('ss')} {['z', 'ä', 'a'].sort(new Intl.Collator('sv').compare).join()} {[...new Intl.Segmenter('en', { granularity: 'word' }).segment('a b')].length} {new Intl.DisplayNames('en', { type: 'region' }).of('DE')} {new Intl.DateTimeFormat().resolvedOptions().timeZone} {new Intl.DateTimeFormat().resolvedOptions().locale}</Text></Html>;
}
