import { second } from './cycle-b';
export const first = () => `first ${second()}`;
export const base = 'base';
