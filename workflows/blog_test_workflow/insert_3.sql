INSERT INTO rsql_blog.blog_table (id, data) VALUES (3, 'row 3');
