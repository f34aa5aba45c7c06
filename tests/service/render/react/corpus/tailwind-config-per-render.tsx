import { Body, Head, Html, Tailwind, Text } from 'react-email';
import plugin from 'tailwindcss/plugin';

export default function TailwindConfigPerRender({ color = '#ff8800', gap = 7 }) {
  return (
    <Html>
      <Tailwind
        config={{
          theme: { extend: { colors: { mine: color }, spacing: ({ theme }: any) => ({ gap: `${gap}px`, twice: `calc(${theme('spacing.2')} * 2)` }) } },
          plugins: [plugin(({ addUtilities }: any) => addUtilities({ '.tint': { color, backgroundColor: 'ivory' } }))],
        }}
      >
        <Head />
        <Body className="p-gap"><Text className="tint m-gap text-mine">per render</Text></Body>
      </Tailwind>
    </Html>
  );
}
