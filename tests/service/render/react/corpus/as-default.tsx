import { Body as Everything, Html as Root, Text as T } from 'react-email';

const Mail = function ({ n = 1 }) {
  return <Root><Everything><T>{n}</T></Everything></Root>;
};
export { Mail as default };
