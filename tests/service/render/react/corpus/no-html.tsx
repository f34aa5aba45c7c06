export const subject = 'Only a fragment';
export default () => <><p>One</p>two{3}</>;
