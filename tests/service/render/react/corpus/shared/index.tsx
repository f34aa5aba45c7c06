import { Text } from 'react-email';
export type FooterProps = { year: number };
export const Footer = ({ year }: FooterProps) => <Text style={{ color: '#999' }}>© {year} Northwind</Text>;
