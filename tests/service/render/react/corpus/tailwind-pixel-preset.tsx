import { Body, Head, Html, Tailwind, Text, pixelBasedPreset } from 'react-email';

export default function TailwindPixelPreset() {
  return (
    <Html>
      <Tailwind config={{ presets: [pixelBasedPreset], theme: { extend: { colors: { brand: '#007291' }, spacing: { 15: '60px' } } } }}>
        <Head />
        <Body className="p-15 text-brand"><Text className="m-4 text-lg rounded-2xl sm:text-brand/50">pixels</Text></Body>
      </Tailwind>
    </Html>
  );
}
