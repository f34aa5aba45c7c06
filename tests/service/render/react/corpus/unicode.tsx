import { Body, Html, Text } from 'react-email';

export default function Unicode({ name = 'Zoë 🦊 日本語' }) {
  return (
    <Html lang="ja">
      <Body>
        <Text title={name}>{name} عربي e\u0301 &nbsp;&hearts; {'\u2028|\u00a0|\ufeff|\u200d'}</Text>
        <Text>{[...'👩‍👩‍👧'].length} {'ß'.toUpperCase()} {'İ'.toLowerCase().length} {'é'.normalize('NFD').length} {'straße'.localeCompare('strasse', 'de')}</Text>
        <Text>{'a\u0000b'.length} {'x'.padStart(3, '·')} {'tab\there'}</Text>
      </Body>
    </Html>
  );
}
