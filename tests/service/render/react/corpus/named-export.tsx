import { Body, Html, Text } from 'react-email';

export const subject = 'A named export';
export function NamedMail({ name = 'nobody' }: { name?: string }) {
  return <Html><Body><Text>Hello {name}</Text></Body></Html>;
}
export default NamedMail;
