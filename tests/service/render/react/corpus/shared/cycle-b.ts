import { base } from './cycle-a';
export const second = () => `second ${base}`;
