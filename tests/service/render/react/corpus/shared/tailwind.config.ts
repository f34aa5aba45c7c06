import type { Config } from 'tailwindcss';
import colors from 'tailwindcss/colors';
import defaultTheme from 'tailwindcss/defaultTheme';
import plugin from 'tailwindcss/plugin';
import preset from './preset';

export default {
  content: ['./**/*.tsx'],
  presets: [preset],
  theme: {
    extend: {
      colors: { ink: colors.slate[900], accent: 'rgb(10 120 200)' },
      fontFamily: { display: ['Oswald', ...defaultTheme.fontFamily.sans] },
    },
  },
  plugins: [
    plugin(({ addUtilities, addComponents, addVariant, matchUtilities, theme }) => {
      addUtilities({ '.shout': { textTransform: 'uppercase', letterSpacing: '2px' } });
      addComponents({ '.pill': { borderRadius: '9999px', padding: theme('spacing.card') } });
      addVariant('hocus', ['&:hover', '&:focus']);
      matchUtilities({ tone: (value) => ({ borderColor: value }) }, { values: { warm: 'orange' } });
    }),
  ],
} satisfies Config;
