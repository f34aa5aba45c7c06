import { Body, Container, Head, Html, Section, Tailwind, Text } from 'react-email';
import plugin from 'tailwindcss/plugin';
import colors from 'tailwindcss/colors';
import defaults from 'tailwindcss/defaultTheme';

const steps = Object.fromEntries([1, 2, 3].map((n) => [`step-${n}`, `${n * 7}px`]));
export default function Mail({ accent }: { accent: 'sky' | 'rose' }) {
  return (
    <Html>
      <Tailwind
        config={{
          presets: [{ theme: { extend: { spacing: steps } } }],
          theme: {
            extend: {
              colors: { accent: colors[accent][600], soft: 'rgb(0 0 0 / <alpha-value>)' },
              fontFamily: { sans: ['Inter', ...(defaults.fontFamily.sans as string[]).slice(0, 2)] },
              fontSize: { tiny: ['11px', { lineHeight: '13px', letterSpacing: '0.1em' }] },
              boxShadow: { card: '0 1px 2px rgba(0,0,0,.1), 0 4px 8px #0001' },
            },
          },
          plugins: [
            plugin(({ addUtilities, addComponents, matchUtilities, addVariant, theme }) => {
              addUtilities({ '.no-break': { whiteSpace: 'nowrap', 'mso-line-height-rule': 'exactly' } });
              addComponents({ '.card': { padding: theme('spacing.step-1'), borderRadius: '4px' } });
              matchUtilities({ gap: (value) => ({ marginBottom: value }) }, { values: theme('spacing') });
              addVariant('mobile', '@media (max-width: 480px)');
            }),
          ],
        }}
      >
        <Head />
        <Body className="font-sans">
          <Container className="card shadow-card bg-accent/50 mobile:bg-white">
            <Section className="gap-step-2 p-step-3 text-soft/75">
              <Text className="text-tiny no-break -mt-2 first:mt-0 md:hover:underline">Tiny</Text>
              <Text className="bg-linear-to-r from-accent to-white text-accent! *:p-1 [&>b]:font-bold"><b>b</b></Text>
              <Text className="space-y-2 divide-y border-x rounded-t-lg size-10 inset-1 line-clamp-2 tracking-wide">many</Text>
            </Section>
          </Container>
        </Body>
      </Tailwind>
    </Html>
  );
}
Mail.PreviewProps = { accent: 'rose' };
