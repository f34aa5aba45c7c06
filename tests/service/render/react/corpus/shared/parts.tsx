export const Footer = ({ year }: { year: number }): JSX.Element => <footer>&copy; {year} &nbsp;&mdash; {"\u2603"} It&apos;s</footer>;
export * from './parts-more';
export * as more from './parts-more';
export { default as Cfg } from './config.json';
