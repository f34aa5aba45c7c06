import { Body, Html, Text } from 'react-email';

const base = process.env.MAILBOAT_PUBLIC_BASE_URL ? process.env.MAILBOAT_PUBLIC_BASE_URL : '/static';
const { NODE_ENV = 'none', HOME: nothing } = { ...process.env, HOME: undefined };

export default function Environment() {
  return <Html><Body><Text>{base} {NODE_ENV} {String(nothing)} {process.env.NOT_THERE ?? 'no'}</Text></Body></Html>;
}
