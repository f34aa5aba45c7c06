import { Body, Container, Font, Head, Html, Preview, Tailwind, pixelBasedPreset, type TailwindConfig } from '@react-email/components';
import type { PropsWithChildren, ReactNode } from 'react';
import { Footer } from './footer';

const config = {
  presets: [pixelBasedPreset],
  theme: {
    extend: {
      colors: { brand: { DEFAULT: '#ff5a5f', dark: '#c13515' }, offwhite: '#fafbfb' },
      spacing: { 0: '0px', 20: '20px', 45: '45px' },
      fontFamily: { sans: ['Inter', 'Helvetica', 'sans-serif'] },
    },
  },
} satisfies TailwindConfig;

export type LayoutProps = PropsWithChildren<{ preview: string; footer?: ReactNode }>;

export function Layout({ preview, children, footer = <Footer /> }: LayoutProps) {
  return (
    <Html lang="en" dir="ltr">
      <Tailwind config={config}>
        <Head>
          <title>{preview}</title>
          <Font fontFamily="Inter" fallbackFontFamily={['Helvetica', 'sans-serif']} webFont={{ url: 'https://fonts.example.com/inter.woff2', format: 'woff2' }} fontWeight={400} fontStyle="normal" />
          <meta name="color-scheme" content="light dark" />
        </Head>
        <Preview>{preview}</Preview>
        <Body className="mx-auto my-0 bg-offwhite font-sans text-base">
          <Container className="mx-auto max-w-[580px] p-45 max-sm:p-4">{children}{footer}</Container>
        </Body>
      </Tailwind>
    </Html>
  );
}
