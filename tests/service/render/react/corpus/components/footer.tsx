import { Column, Hr, Img, Link, Row, Section, Text } from '@react-email/components';
import links from './links.json';
export const Footer: React.FC<{ year?: number }> = ({ year = 2024 }) => (
  <>
    <Hr className="my-20 border-[#efeff0]" />
    <Section className="text-center">
      <Row className="w-[200px]!">
        {Object.entries(links).map(([name, href], i) => (
          <Column key={name} align={i === 0 ? 'left' : 'right'} className="align-middle">
            <Link href={href} className="text-[#9ca299] underline">
              <Img src={`https://example.com/static/${name}.png`} width="24" height={24} alt={name} className="inline-block" />
            </Link>
          </Column>
        ))}
      </Row>
      <Text className="text-[14px] text-gray-500 mt-4">&copy; {year} Example, Inc., All Rights Reserved<br />350 Bush Street, 2nd Floor</Text>
    </Section>
  </>
);
