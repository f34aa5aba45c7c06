import { Button, Heading, Img, Link, Row, Section, Text } from '@react-email/components';
import { Layout } from './components/layout';
type Props = { authorName?: string; authorImage?: string; reviewText?: string };
export const StaysReviewEmail = ({ authorName, authorImage, reviewText }: Props) => (
  <Layout preview={`Read ${authorName}'s review`}>
    <Section><Img src="https://example.com/static/stays-logo.png" width="96" height="30" alt="Stays" /></Section>
    <Section><Img src={authorImage} width="96" height="96" alt={authorName} className="mx-auto mb-4 rounded-[50%]" /></Section>
    <Section className="pb-5">
      <Row>
        <Heading as="h1" className="text-[32px] font-bold leading-[1.3] text-[#484848]">Here's what {authorName} wrote</Heading>
        <Text className="rounded bg-gray-100 p-6 text-lg/7 text-[#484848]">{reviewText}</Text>
        <Text className="text-[18px] leading-[1.4] text-[#484848]">Now that the review period is over, we’ve posted {authorName}’s review to your Stays profile.</Text>
        <Button className="block rounded-[3px] bg-brand py-[19px] px-[30px] text-center text-[18px] font-semibold text-white no-underline hover:bg-brand-dark" href="https://stays.example/">Send My Feedback</Button>
      </Row>
    </Section>
    <Link href="https://stays.example" className="mb-[10px] block text-[14px] text-brand/80 underline dark:text-white">Common questions</Link>
  </Layout>
);
StaysReviewEmail.PreviewProps = { authorName: 'Alex', authorImage: 'https://example.com/a.png', reviewText: '“Alex was a great guest!” & more <3' } as Props;
export default StaysReviewEmail;
