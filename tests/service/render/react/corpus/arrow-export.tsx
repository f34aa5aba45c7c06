import { Body, Html, Text } from 'react-email';

interface Props { name: string; tags?: string[] }

const ArrowMail = ({ name, tags = ['a', 'b'] }: Props): React.JSX.Element => (
  <Html lang="fr" dir="rtl">
    <Body>
      <Text>{name}{tags.length > 1 ? ` (${tags.join(', ')})` : null}</Text>
    </Body>
  </Html>
);

ArrowMail.PreviewProps = { name: 'Ada' } satisfies Props;
export const subject = ({ name }: Props) => `For ${name}`;
export default ArrowMail;
