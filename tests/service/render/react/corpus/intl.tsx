import { Body, Html, Text } from 'react-email';

const when = new Date(Date.UTC(2026, 9, 25, 0, 30, 5));

export default function IntlMail({ amount = 1234567.891 }) {
  return (
    <Html>
      <Body>
        <Text>{new Intl.NumberFormat('de-DE', { style: 'currency', currency: 'EUR' }).format(amount)} {amount.toLocaleString()} {amount.toLocaleString('hi-IN')}</Text>
        <Text>{new Intl.NumberFormat('en', { notation: 'compact' }).format(amount)} {(0.256).toLocaleString('fr', { style: 'percent', minimumFractionDigits: 1 })}</Text>
        <Text>{when.toLocaleDateString()} {when.toLocaleTimeString('en-GB')} {when.toLocaleString('ja-JP', { dateStyle: 'full', timeStyle: 'short' })}</Text>
        <Text>{when.toString()} {when.getTimezoneOffset()} {when.toLocaleString('en-US', { timeZone: 'America/New_York', timeZoneName: 'short' })}</Text>
        <Text>{new Intl.DateTimeFormat('ar-EG', { month: 'long', day: 'numeric' }).format(when)} {new Intl.RelativeTimeFormat('es').format(-2, 'day')}</Text>
        <Text>{new Intl.PluralRules('pl').select(3)} {new Intl.ListFormat('de').format(['a', 'b', 'c'])} {new Intl.DisplayNames('fr', { type: 'region' }).of('DE')}</Text>
        <Text>{['z', 'ä', 'a'].sort(new Intl.Collator('sv').compare).join('')} {Intl.DateTimeFormat().resolvedOptions().timeZone}</Text>
      </Body>
    </Html>
  );
}
