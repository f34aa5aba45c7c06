import { pixelBasedPreset } from 'react-email';
import type { TailwindConfig } from 'react-email';

/** The look of every Northwind mail: change it here. */
export default {
  presets: [pixelBasedPreset],
  theme: {
    extend: {
      colors: { brand: '#1f5c4d', 'brand-soft': '#e6f0ec', ink: '#1c2521', muted: '#64706a', line: '#dfe5e1', canvas: '#f3f5f2' },
      fontFamily: { sans: ['"Helvetica Neue"', 'Helvetica', 'Arial', 'sans-serif'], serif: ['Georgia', '"Times New Roman"', 'serif'] },
    },
  },
} satisfies TailwindConfig;
