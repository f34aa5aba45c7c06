import { pixelBasedPreset } from 'react-email';
import type { TailwindConfig } from 'react-email';

/** The look of every Northwind mail in React: change it here. */
export default {
  presets: [pixelBasedPreset],
  theme: {
    extend: {
      colors: {
        canvas: { DEFAULT: '#f4f6f5', night: '#0f1211' },
        card: { DEFAULT: '#ffffff', night: '#181d1b' },
        soft: { DEFAULT: '#f1f5f3', night: '#222926' },
        line: { DEFAULT: '#e3e8e5', night: '#2d3531' },
        ink: { DEFAULT: '#1b211f', night: '#eef2f0' },
        muted: { DEFAULT: '#5d6863', night: '#a3afa9' },
        accent: { DEFAULT: '#1f5c4d', night: '#86d1ba' },
        alert: { DEFAULT: '#a8321f', night: '#ff9e8c' },
        filled: { DEFAULT: '#1f5c4d', night: '#2b7a66' },
      },
      fontFamily: { sans: ['Helvetica Neue', 'Helvetica', 'Arial', 'sans-serif'] },
    },
  },
} satisfies TailwindConfig;

/** The classes of each role, by day and by night. */
export const look = {
  canvas: 'bg-canvas dark:bg-canvas-night',
  card: 'border border-solid border-line bg-card dark:border-line-night dark:bg-card-night',
  soft: 'bg-soft dark:bg-soft-night',
  rule: 'border-line dark:border-line-night',
  line: 'border-0 border-b border-solid border-line dark:border-line-night',
  ink: 'text-ink dark:text-ink-night',
  muted: 'text-muted dark:text-muted-night',
  accent: 'text-accent dark:text-accent-night',
  alert: 'text-alert dark:text-alert-night',
  filled: 'bg-filled text-white dark:bg-filled-night',
};
